package gateway

import (
	"fmt"

	"andon/detect"
	"andon/gateway/filter"
)

// newDetectors makes the clients of the classifiers that filters may name.
func newDetectors(list []Detector) (map[string]filter.Scorer, error) {
	made := map[string]filter.Scorer{}
	for _, d := range list {
		if d.Name == "" || made[d.Name] != nil {
			return nil, fmt.Errorf("detector name %q is empty or given twice", d.Name)
		}
		c, err := detect.NewClassifier(detect.Config{Type: d.Type, URL: d.URL, Key: d.Key, Model: d.Model, Category: d.Category, Policy: d.Policy, Timeout: d.Timeout})
		if err != nil {
			return nil, fmt.Errorf("detector %s: %w", d.Name, err)
		}
		made[d.Name] = c
	}
	return made, nil
}
