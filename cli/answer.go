package cli

import (
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
)

// send sends one request and hands the answer to print. With -o json the answer
// is printed as it came: a newer control plane may say more than T holds.
func send[T any](c *command, cmd *cobra.Command, method, path string, body any, print func(*T) error) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	var raw jsontext.Value
	if err := cl.do(cmd.Context(), method, path, nil, body, &raw); err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(raw)
	}
	v := new(T)
	if err := unmarshal(raw, v); err != nil {
		return err
	}
	return print(v)
}

// show is send of a GET.
func show[T any](c *command, cmd *cobra.Command, path string, print func(*T) error) error {
	return send(c, cmd, http.MethodGet, path, nil, print)
}

// done sends what nothing comes back of, and says that it is done: to machines,
// or to people.
func (c *command) done(cmd *cobra.Command, method, path string, body, machines any, people string) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	if err := cl.do(cmd.Context(), method, path, nil, body, nil); err != nil {
		return err
	}
	if c.output == "json" {
		return c.json(machines)
	}
	c.printf("%s\n", people)
	return nil
}

// list reads what stands in member of an answer, and of those that its "next"
// leads to, and prints a table with a row for each; where there is nothing, none
// is said instead, unless it is "". With -o json the items are printed as they came.
func list[T any](c *command, cmd *cobra.Command, path, member, none string, head []string, row func(*T) []string) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	items, next := []jsontext.Value{}, ""
	var page struct {
		Total int    `json:"total"`
		After string `json:"after"`
		Next  string `json:"next"`
	}
	for more := ""; ; {
		var raw jsontext.Value
		if err := cl.do(cmd.Context(), http.MethodGet, path+more, nil, nil, &raw); err != nil {
			return err
		}
		members, these := map[string]jsontext.Value{}, []jsontext.Value{}
		page.Next = ""
		if err := errors.Join(unmarshal(raw, &page), unmarshal(raw, &members), unmarshal(members[member], &these)); err != nil {
			return err
		}
		if items = append(items, these...); page.Next == "" {
			break
		}
		if page.Next == next {
			return errors.New("the control plane's list does not go on")
		}
		next = page.Next
		more = "?after=" + url.QueryEscape(next)
		if strings.Contains(path, "?") {
			more = "&" + more[1:]
		}
	}
	if c.output == "json" {
		return c.json(items)
	}
	if len(items) == 0 && none != "" {
		c.printf("%s\n", none)
		return nil
	}
	rows := [][]string{head}
	for _, raw := range items {
		v := new(T)
		if err := unmarshal(raw, v); err != nil {
			return err
		}
		rows = append(rows, row(v))
	}
	table(c.Stdout, rows)
	if page.After != "" {
		c.printf("%d of %d; more: --after %s\n", len(items), page.Total, page.After)
	}
	return nil
}

// unmarshal reads an answer of the control plane; an empty one says nothing.
func unmarshal(raw jsontext.Value, out any) error {
	if len(raw) == 0 {
		return nil
	}
	if err := json.Unmarshal(raw, out); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

// fetch reads an answer.
func (c *command) fetch(cmd *cobra.Command, path string, out any) error {
	cl, err := c.client()
	if err != nil {
		return err
	}
	return cl.do(cmd.Context(), http.MethodGet, path, nil, nil, out)
}
