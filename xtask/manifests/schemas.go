package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	structuralschema "k8s.io/apiextensions-apiserver/pkg/apiserver/schema"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/defaulting"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/listtype"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/schema/pruning"
	"k8s.io/apiextensions-apiserver/pkg/apiserver/validation"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/openapi/resolver"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/kube-openapi/pkg/spec3"
	"k8s.io/kube-openapi/pkg/validation/spec"
	"k8s.io/kube-openapi/pkg/validation/strfmt"
	"k8s.io/kube-openapi/pkg/validation/validate"
	"sigs.k8s.io/yaml"
)

// schemas knows how objects of Kubernetes and of custom resources look.
type schemas struct {
	openapi string
	strict  runtime.Decoder
	groups  map[schema.GroupVersion]map[string]*spec.Schema
	customs map[schema.GroupVersionKind]*custom
}

// custom is one version of a custom resource.
type custom struct {
	structural *structuralschema.Structural
	schema     validation.SchemaValidator
	rules      *cel.Validator
}

func newSchemas(openapi string, definitions []string) (*schemas, error) {
	made := &schemas{
		openapi: openapi,
		strict:  serializer.NewCodecFactory(scheme.Scheme, serializer.EnableStrict).UniversalDeserializer(),
		groups:  map[schema.GroupVersion]map[string]*spec.Schema{},
		customs: map[schema.GroupVersionKind]*custom{},
	}
	for _, path := range definitions {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		for _, document := range bytes.Split(text, []byte("\n---")) {
			if err := made.define(document); err != nil {
				return nil, fmt.Errorf("%s: %w", path, err)
			}
		}
	}
	return made, nil
}

// define takes the definition of a custom resource; other documents are passed over.
func (s *schemas) define(document []byte) error {
	var read apiextensionsv1.CustomResourceDefinition
	if err := yaml.Unmarshal(document, &read); err != nil {
		return err
	}
	if read.Kind != "CustomResourceDefinition" {
		return nil
	}
	apiextensionsv1.SetDefaults_CustomResourceDefinition(&read)
	apiextensionsv1.SetDefaults_CustomResourceDefinitionSpec(&read.Spec)
	var definition apiextensions.CustomResourceDefinition
	convert := apiextensionsv1.Convert_v1_CustomResourceDefinition_To_apiextensions_CustomResourceDefinition
	if err := convert(&read, &definition, nil); err != nil {
		return err
	}
	for _, version := range definition.Spec.Versions {
		found, err := apiextensions.GetSchemaForVersion(&definition, version.Name)
		if err != nil || found == nil {
			return fmt.Errorf("%s %s has no schema: %w", definition.Name, version.Name, err)
		}
		structural, err := structuralschema.NewStructural(found.OpenAPIV3Schema)
		if err != nil {
			return err
		}
		validator, _, err := validation.NewSchemaValidator(found.OpenAPIV3Schema)
		if err != nil {
			return err
		}
		kind := schema.GroupVersionKind{Group: definition.Spec.Group, Version: version.Name, Kind: definition.Spec.Names.Kind}
		s.customs[kind] = &custom{structural, validator, cel.NewValidator(structural, true, celconfig.PerCallLimit)}
	}
	return nil
}

// faults tells what an API server would not take.
func (s *schemas) faults(object map[string]any) []string {
	text := func(value any) string { found, _ := value.(string); return found }
	metadata, _ := object["metadata"].(map[string]any)
	kind := schema.FromAPIVersionAndKind(text(object["apiVersion"]), text(object["kind"]))
	name := fmt.Sprintf("%s %s", kind.Kind, text(metadata["name"]))
	var found []string
	if known, ok := s.customs[kind]; ok {
		found = known.faults(object)
	} else {
		found = s.builtIn(kind, object)
	}
	for i := range found {
		found[i] = name + ": " + found[i]
	}
	return found
}

func (c *custom) faults(object map[string]any) []string {
	copied := runtime.DeepCopyJSON(object)
	var found []string
	track := structuralschema.UnknownFieldPathOptions{TrackUnknownFieldPaths: true}
	for _, path := range pruning.PruneWithOptions(copied, c.structural, true, track) {
		found = append(found, "there is no field "+path)
	}
	defaulting.Default(copied, c.structural)
	errors := validation.ValidateCustomResource(nil, copied, c.schema)
	errors = append(errors, listtype.ValidateListSetsAndMaps(nil, c.structural, copied)...)
	// Rules are written for objects that fit the schema.
	if c.rules != nil && len(errors) == 0 {
		broken, _ := c.rules.Validate(context.Background(), nil, c.structural, copied, nil, celconfig.RuntimeCELCostBudget)
		errors = append(errors, broken...)
	}
	for _, err := range errors {
		found = append(found, err.Error())
	}
	return found
}

func (s *schemas) builtIn(kind schema.GroupVersionKind, object map[string]any) []string {
	var found []string
	text, err := json.Marshal(object)
	if err != nil {
		return []string{err.Error()}
	}
	read, _, err := s.strict.Decode(text, nil, nil)
	if err != nil {
		found = append(found, err.Error())
	}
	if read != nil {
		found = append(found, restricted(read)...)
	}
	shape, err := s.shape(kind)
	if err != nil {
		return append(found, err.Error())
	}
	for _, err := range validate.NewSchemaValidator(shape, nil, "", strfmt.Default).Validate(object).Errors {
		found = append(found, err.Error())
	}
	return found
}

// shape returns the schema of a kind, with all that it refers to in its place.
func (s *schemas) shape(kind schema.GroupVersionKind) (*spec.Schema, error) {
	known, err := s.group(kind.GroupVersion())
	if err != nil {
		return nil, err
	}
	const prefix = "#/components/schemas/"
	of := func(ref string) (*spec.Schema, bool) {
		found, ok := known[strings.TrimPrefix(ref, prefix)]
		return found, ok
	}
	for name, candidate := range known {
		kinds, _ := candidate.Extensions["x-kubernetes-group-version-kind"].([]any)
		for _, one := range kinds {
			told, _ := one.(map[string]any)
			if told["group"] == kind.Group && told["version"] == kind.Version && told["kind"] == kind.Kind {
				return resolver.PopulateRefs(of, prefix+name)
			}
		}
	}
	return nil, fmt.Errorf("no schema knows the kind %s of %s", kind.Kind, kind.GroupVersion())
}

func (s *schemas) group(version schema.GroupVersion) (map[string]*spec.Schema, error) {
	if known, ok := s.groups[version]; ok {
		return known, nil
	}
	name := "api__" + version.Version
	if version.Group != "" {
		name = "apis__" + version.Group + "__" + version.Version
	}
	text, err := os.ReadFile(filepath.Join(s.openapi, name+"_openapi.json"))
	if err != nil {
		return nil, fmt.Errorf("no schema knows the group %s", version)
	}
	var document spec3.OpenAPI
	if err := json.Unmarshal(text, &document); err != nil {
		return nil, err
	}
	// These say by `oneOf` what they take; the validator knows their format from custom resources alone, in another form.
	for _, part := range document.Components.Schemas {
		if part.Format == "int-or-string" {
			part.Format = ""
		}
	}
	s.groups[version] = document.Components.Schemas
	return document.Components.Schemas, nil
}
