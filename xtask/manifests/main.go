// Command manifests renders kustomize folders without a network and holds every object against the schemas that an API server would
// use. It reads a request from standard input and writes an answer to standard output, both JSON; what is right beyond the schemas,
// `cargo xtask deploy check` decides.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"

	utiljson "k8s.io/apimachinery/pkg/util/json"
)

// Request is what is to be looked at.
type Request struct {
	// Folders with a kustomization, to be rendered.
	Folders []string `json:"folders"`
	// Objects to be held against the schemas as they are, beside what is rendered.
	Objects []map[string]any `json:"objects"`
	// OpenAPI is the folder of the OpenAPI v3 documents of Kubernetes.
	OpenAPI string `json:"openapi"`
	// Definitions are files with the definitions of custom resources.
	Definitions []string `json:"definitions"`
	// Documents are YAML files, to be read as they are.
	Documents []string `json:"documents"`
	// Expressions are PromQL.
	Expressions []string `json:"expressions"`
}

// Answer is what was found.
type Answer struct {
	Folders     []Folder       `json:"folders"`
	Objects     []string       `json:"objects"`
	Documents   map[string]any `json:"documents"`
	Expressions []Expression   `json:"expressions"`
}

// Folder is a folder as it was rendered.
type Folder struct {
	Path    string           `json:"path"`
	Objects []map[string]any `json:"objects"`
	Faults  []string         `json:"faults"`
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "manifests:", err)
		os.Exit(1)
	}
}

func run() error {
	text, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	var request Request
	// Whole numbers stay whole, as they do in an API server.
	if err := utiljson.Unmarshal(text, &request); err != nil {
		return fmt.Errorf("the request cannot be read: %w", err)
	}
	schemas, err := newSchemas(request.OpenAPI, request.Definitions)
	if err != nil {
		return err
	}
	read, err := documents(request.Documents)
	if err != nil {
		return err
	}
	answer := Answer{Folders: []Folder{}, Objects: []string{}, Documents: read, Expressions: []Expression{}}
	for _, path := range request.Folders {
		folder := Folder{Path: path, Objects: []map[string]any{}, Faults: []string{}}
		objects, err := render(path)
		if err != nil {
			folder.Faults = append(folder.Faults, err.Error())
		}
		for _, object := range objects {
			folder.Objects = append(folder.Objects, object)
			folder.Faults = append(folder.Faults, schemas.faults(object)...)
		}
		answer.Folders = append(answer.Folders, folder)
	}
	for _, object := range request.Objects {
		answer.Objects = append(answer.Objects, schemas.faults(object)...)
	}
	for _, text := range request.Expressions {
		answer.Expressions = append(answer.Expressions, expression(text))
	}
	return json.NewEncoder(os.Stdout).Encode(answer)
}
