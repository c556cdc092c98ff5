// Package cacao reads and writes playbooks as OASIS CACAO Security Playbooks 2.0.
//
// It is pure, and what it reads is data from strangers: bounded in size, depth
// and steps, read strictly, and never executed. A command that is no correction
// of ours becomes a task for a person, with its text shown. What our model
// cannot say is refused with the step named, or becomes a decision where that
// keeps the meaning; what is left out is said in Import.Notes.
//
// An export carries the whole playbook in an extension of ours, so that reading
// it gives back what was written, and beside it the workflow that any other
// program can follow. Reading refuses a document whose workflow and extension
// say different things.
//
// Signatures are JSS (ITU-T X.590): over the SHA-256 of the document's canonical
// JSON (RFC 8785) with the signature object in it and without its value.
package cacao

import (
	"crypto/sha1"
	"encoding/hex"
	"time"

	"github.com/go-json-experiment/json/jsontext"
)

// SpecVersion is the version that is read and written.
const SpecVersion = "cacao-2.0"

// Bounds of what is read.
const (
	MaxDocument = 4 << 20 // bytes
	MaxDepth    = 32      // of nesting
	MaxWorkflow = 500     // steps
	maxContent  = 256 << 10
)

// Document is a playbook in the form of the standard, section 3.1.
type Document struct {
	Type               string                    `json:"type"`
	SpecVersion        string                    `json:"spec_version"`
	ID                 string                    `json:"id"`
	Name               string                    `json:"name"`
	Description        string                    `json:"description,omitempty"`
	PlaybookTypes      []string                  `json:"playbook_types,omitempty"`
	PlaybookActivities []string                  `json:"playbook_activities,omitempty"`
	ProcessingSummary  map[string]bool           `json:"playbook_processing_summary,omitempty"`
	CreatedBy          string                    `json:"created_by"`
	Created            string                    `json:"created"`
	Modified           string                    `json:"modified"`
	Revoked            bool                      `json:"revoked,omitzero"`
	ValidFrom          string                    `json:"valid_from,omitempty"`
	ValidUntil         string                    `json:"valid_until,omitempty"`
	DerivedFrom        []string                  `json:"derived_from,omitempty"`
	RelatedTo          []string                  `json:"related_to,omitempty"`
	Priority           *int64                    `json:"priority,omitzero"`
	Severity           *int64                    `json:"severity,omitzero"`
	Impact             *int64                    `json:"impact,omitzero"`
	IndustrySectors    []string                  `json:"industry_sectors,omitempty"`
	Labels             []string                  `json:"labels,omitempty"`
	ExternalReferences []jsontext.Value          `json:"external_references,omitempty"`
	Markings           []string                  `json:"markings,omitempty"`
	Variables          map[string]Variable       `json:"playbook_variables,omitempty"`
	WorkflowStart      string                    `json:"workflow_start"`
	WorkflowException  string                    `json:"workflow_exception,omitempty"`
	Workflow           map[string]*Step          `json:"workflow"`
	PlaybookExtensions map[string]jsontext.Value `json:"playbook_extensions,omitempty"`
	AuthenticationInfo map[string]jsontext.Value `json:"authentication_info_definitions,omitempty"`
	AgentDefinitions   map[string]Agent          `json:"agent_definitions,omitempty"`
	TargetDefinitions  map[string]jsontext.Value `json:"target_definitions,omitempty"`
	ExtensionDefs      map[string]ExtensionDef   `json:"extension_definitions,omitempty"`
	DataMarkings       map[string]jsontext.Value `json:"data_marking_definitions,omitempty"`
	Signatures         []jsontext.Value          `json:"signatures,omitempty"`
}

// Variable is a value that is known when the playbook is run, section 10.18.
type Variable struct {
	Type        string  `json:"type"`
	Description string  `json:"description,omitempty"`
	Value       *string `json:"value,omitzero"`
	Constant    bool    `json:"constant,omitzero"`
	External    bool    `json:"external,omitzero"`
}

// Step is a step of a workflow, section 4. What it may have depends on its type.
type Step struct {
	Type               string                    `json:"type"`
	Name               string                    `json:"name,omitempty"`
	Description        string                    `json:"description,omitempty"`
	ExternalReferences []jsontext.Value          `json:"external_references,omitempty"`
	Delay              int64                     `json:"delay,omitzero"`   // milliseconds, before it
	Timeout            int64                     `json:"timeout,omitzero"` // milliseconds
	Variables          map[string]Variable       `json:"step_variables,omitempty"`
	Owner              string                    `json:"owner,omitempty"`
	OnCompletion       string                    `json:"on_completion,omitempty"`
	OnSuccess          string                    `json:"on_success,omitempty"`
	OnFailure          string                    `json:"on_failure,omitempty"`
	Extensions         map[string]jsontext.Value `json:"step_extensions,omitempty"`

	Commands        []Command         `json:"commands,omitempty"` // action
	Agent           string            `json:"agent,omitempty"`
	Targets         []string          `json:"targets,omitempty"`
	InArgs          []string          `json:"in_args,omitempty"`
	OutArgs         []string          `json:"out_args,omitempty"`
	PlaybookID      string            `json:"playbook_id,omitempty"` // playbook-action
	PlaybookVersion string            `json:"playbook_version,omitempty"`
	NextSteps       []string          `json:"next_steps,omitempty"` // parallel
	Condition       string            `json:"condition,omitempty"`  // if, while
	OnTrue          string            `json:"on_true,omitempty"`
	OnFalse         string            `json:"on_false,omitempty"`
	Switch          string            `json:"switch,omitempty"` // switch
	Cases           map[string]string `json:"cases,omitempty"`
}

// Command is something that an action does, section 5. Members of types that are
// shown to people and never run are kept as they come.
type Command struct {
	Type               string              `json:"type"`
	Description        string              `json:"description,omitempty"`
	Version            string              `json:"version,omitempty"`
	Activity           string              `json:"playbook_activity,omitempty"`
	ExternalReferences []jsontext.Value    `json:"external_references,omitempty"`
	Command            string              `json:"command,omitempty"`
	CommandB64         string              `json:"command_b64,omitempty"`
	Headers            map[string][]string `json:"headers,omitempty"`
	Content            string              `json:"content,omitempty"`
	ContentB64         string              `json:"content_b64,omitempty"`
	Other              jsontext.Value      `json:",embed"`
}

// Agent is who, or what, carries out commands, section 7.
type Agent struct {
	Type     string         `json:"type"`
	Name     string         `json:"name"`
	Category []string       `json:"category,omitempty"`
	Other    jsontext.Value `json:",embed"`
}

// ExtensionDef says what an extension is, section 8.
type ExtensionDef struct {
	Type               string           `json:"type"`
	Name               string           `json:"name"`
	Description        string           `json:"description,omitempty"`
	CreatedBy          string           `json:"created_by"`
	Schema             string           `json:"schema"`
	Version            string           `json:"version"`
	ExternalReferences []jsontext.Value `json:"external_references,omitempty"`
}

// The types of steps.
const (
	typeStart    = "start"
	typeEnd      = "end"
	typeAction   = "action"
	typePlaybook = "playbook-action"
	typeParallel = "parallel"
	typeIf       = "if-condition"
	typeWhile    = "while-condition"
	typeSwitch   = "switch-condition"
)

// extensionID names the extension that holds a whole playbook of ours.
var extensionID = id("extension-definition", "andon-playbook")

// namespace makes our identifiers ours.
const namespace = "andon:cacao:1:"

// id is an identifier that is always the same for the same thing (UUID version 5).
func id(kind, name string) string {
	sum := sha1.Sum([]byte(namespace + kind + ":" + name)) // names, not secrets: RFC 9562 prescribes SHA-1 here
	b := sum[:16]
	b[6] = b[6]&0x0f | 0x50
	b[8] = b[8]&0x3f | 0x80
	h := hex.EncodeToString(b)
	return kind + "--" + h[:8] + "-" + h[8:12] + "-" + h[12:16] + "-" + h[16:20] + "-" + h[20:]
}

// timestamp is a time in the standard's form: UTC, with exactly three digits.
func timestamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }
