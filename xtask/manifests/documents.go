package main

import (
	"os"

	"k8s.io/apimachinery/pkg/util/json"
	"sigs.k8s.io/yaml"
)

// documents reads YAML files as they are.
func documents(paths []string) (map[string]any, error) {
	found := map[string]any{}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			return nil, err
		}
		converted, err := yaml.YAMLToJSON(text)
		if err != nil {
			return nil, err
		}
		var document any
		if err := json.Unmarshal(converted, &document); err != nil {
			return nil, err
		}
		found[path] = document
	}
	return found, nil
}
