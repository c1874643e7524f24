// Package chartdoc makes the table of values in the chart's README from values.yaml: keys, defaults, and the comments above and behind them.
package chartdoc

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"
)

const (
	begin = "<!-- values: made by e2e/cmd/chart-readme -->\n"
	end   = "<!-- end of values -->\n"
)

// README is the text of a chart's README.md with the table as values.yaml has it now.
func README(chart string) (string, error) {
	text, err := os.ReadFile(filepath.Join(chart, "README.md"))
	if err != nil {
		return "", err
	}
	before, rest, ok := strings.Cut(string(text), begin)
	_, after, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		return "", fmt.Errorf("README.md of the chart has no lines %q and %q", begin, end)
	}
	values, err := os.ReadFile(filepath.Join(chart, "values.yaml"))
	if err != nil {
		return "", err
	}
	table, err := Table(values)
	return before + begin + table + end + after, err
}

// Table is a row for each key of values.yaml that has a value, or says something.
func Table(values []byte) (string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(values, &doc); err != nil {
		return "", err
	}
	var out strings.Builder
	out.WriteString("| key | default | |\n|---|---|---|\n")
	return out.String() + rows(doc.Content[0], ""), nil
}

func rows(m *yaml.Node, prefix string) string {
	var out strings.Builder
	for i := 0; i+1 < len(m.Content); i += 2 {
		key, value := m.Content[i], m.Content[i+1]
		name := prefix + key.Value
		says := sentence(key.HeadComment, key.LineComment, value.LineComment)
		if value.Kind == yaml.MappingNode && value.Style&yaml.FlowStyle == 0 {
			if says != "" {
				fmt.Fprintf(&out, "| `%s` | | %s |\n", name, says)
			}
			out.WriteString(rows(value, name+"."))
			continue
		}
		fmt.Fprintf(&out, "| `%s` | `%s` | %s |\n", name, flow(value), says)
	}
	return out.String()
}

// flow writes a value on one line, as in values.yaml.
func flow(n *yaml.Node) string {
	var parts []string
	switch n.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			parts = append(parts, n.Content[i].Value+": "+flow(n.Content[i+1]))
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case yaml.SequenceNode:
		for _, item := range n.Content {
			parts = append(parts, flow(item))
		}
		return "[" + strings.Join(parts, ", ") + "]"
	}
	if n.Style&(yaml.DoubleQuotedStyle|yaml.SingleQuotedStyle) != 0 {
		return `"` + n.Value + `"`
	}
	return n.Value
}

func sentence(comments ...string) string {
	var words []string
	for _, c := range comments {
		for _, line := range strings.Split(c, "\n") {
			if line = strings.TrimSpace(strings.TrimPrefix(strings.TrimSpace(line), "#")); line != "" {
				words = append(words, line)
			}
		}
	}
	return strings.ReplaceAll(strings.Join(words, " "), "|", `\|`)
}
