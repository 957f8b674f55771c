package main

import (
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
)

// restricted tells what Pod Security admission, at the level `restricted`, would refuse of the pods that an object makes.
func restricted(object runtime.Object) []string {
	var pod corev1.PodTemplateSpec
	switch made := object.(type) {
	case *appsv1.Deployment:
		pod = made.Spec.Template
	case *appsv1.StatefulSet:
		pod = made.Spec.Template
	case *appsv1.DaemonSet:
		pod = made.Spec.Template
	case *batchv1.Job:
		pod = made.Spec.Template
	case *batchv1.CronJob:
		pod = made.Spec.JobTemplate.Spec.Template
	case *corev1.Pod:
		pod = corev1.PodTemplateSpec{ObjectMeta: made.ObjectMeta, Spec: made.Spec}
	default:
		return nil
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		return []string{err.Error()}
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	result := policy.AggregateCheckResults(evaluator.EvaluatePod(level, &pod.ObjectMeta, &pod.Spec))
	if result.Allowed {
		return nil
	}
	return []string{fmt.Sprintf("Pod Security restricted refuses it: %s", result.ForbiddenDetail())}
}
