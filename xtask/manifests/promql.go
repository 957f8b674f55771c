package main

import (
	"slices"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Expression is a PromQL expression as it was understood.
type Expression struct {
	Text string `json:"text"`
	// Fault says why it cannot be read.
	Fault string `json:"fault"`
	// Selectors are the series that it asks for.
	Selectors []Selector `json:"selectors"`
	// Groups are the labels by which it sums up or joins.
	Groups []string `json:"groups"`
}

// Selector is what an expression asks for.
type Selector struct {
	Metric string   `json:"metric"`
	Labels []string `json:"labels"`
}

func expression(text string) Expression {
	found := Expression{Text: text, Selectors: []Selector{}, Groups: []string{}}
	read, err := parser.NewParser(parser.Options{}).ParseExpr(text)
	if err != nil {
		found.Fault = err.Error()
		return found
	}
	parser.Inspect(read, func(node parser.Node, _ []parser.Node) error {
		switch part := node.(type) {
		case *parser.VectorSelector:
			selector := Selector{Metric: part.Name, Labels: []string{}}
			for _, matcher := range part.LabelMatchers {
				if matcher.Name != labels.MetricName {
					selector.Labels = append(selector.Labels, matcher.Name)
				}
			}
			found.Selectors = append(found.Selectors, selector)
		case *parser.AggregateExpr:
			found.Groups = append(found.Groups, part.Grouping...)
		case *parser.BinaryExpr:
			if part.VectorMatching != nil {
				found.Groups = append(found.Groups, part.VectorMatching.MatchingLabels...)
			}
		}
		return nil
	})
	slices.Sort(found.Groups)
	found.Groups = slices.Compact(found.Groups)
	return found
}
