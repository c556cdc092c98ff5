package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"time"
)

// result is what a row found out.
type result struct {
	name     string
	what     string
	target   string
	measured string
	ratio    string
	verdict  string // reached | missed | not measured
	detail   string // markdown: everybody's numbers, and how they came about
	failed   error
}

// judge is the verdict of a number against its bound.
func judge(ok bool) string {
	if ok {
		return "reached"
	}
	return "**missed**"
}

// table renders rows of cells; the first is the head.
func table(rows [][]string) string {
	var s strings.Builder
	for i, r := range rows {
		s.WriteString("| " + strings.Join(r, " | ") + " |\n")
		if i == 0 {
			s.WriteString(strings.Repeat("|---", len(r)) + "|\n")
		}
	}
	return s.String()
}

func (b *bench) report(results []*result, took time.Duration) string {
	var s strings.Builder
	s.WriteString("# Benchmarks\n\n")
	s.WriteString("Written by `make bench`. Others are measured beside Andon, in turns, in the same run: ratios travel to other machines, absolute numbers do not.\n\n")
	lines := [][]string{{"what", "target", "measured", "ratio", "verdict"}}
	for _, r := range results {
		lines = append(lines, []string{r.what, r.target, r.measured, r.ratio, r.verdict})
	}
	s.WriteString(table(lines))
	s.WriteString("\n## The machine and the run\n\n")
	s.WriteString(table(append([][]string{{"", ""}}, b.machine(took)...)))
	s.WriteString("\n" + method + "\n")
	for _, r := range results {
		if r.detail != "" {
			fmt.Fprintf(&s, "\n## %s\n\n%s\n", strings.ToUpper(r.what[:1])+r.what[1:], strings.TrimSpace(r.detail))
		}
	}
	return s.String()
}

const method = `Method: every proxy, gateway, control plane and provider is a process of its own on loopback. The load generator is written for this
purpose (bare connections, HTTP/1.1 with keep-alive, calls rendered beforehand), but still runs on the same cores, as does the provider.
Contenders take turns in short rounds, in changing order, and the median over the rounds is shown, so that what else the machine does
hits all of them. nginx runs a worker a core, kept connections to the provider and ` + "`proxy_buffering off`" + `; HAProxy two threads and
` + "`http-reuse always`" + `; the plain Go proxy is ` + "`httputil.ReverseProxy`" + ` over a transport with enough idle connections and a buffer pool.
None of them writes an access log. The Andon gateway runs with identity by keys and 1,000 scoped corrections of all kinds in force that do not
touch the load, and follows a control plane over the network.`

// machine says where and with what the numbers came about.
func (b *bench) machine(took time.Duration) [][]string {
	host := [][]string{
		{"cores", fmt.Sprint(runtime.NumCPU())},
		{"processor", first("/proc/cpuinfo", "model name")},
		{"memory", first("/proc/meminfo", "MemTotal")},
		{"kernel", kernel()},
		{"Go", runtime.Version() + " " + runtime.GOOS + "/" + runtime.GOARCH},
		{"nginx", version("nginx", "-v")},
		{"HAProxy", version("haproxy", "-v")},
		{"commit", commit()},
		{"date", time.Now().UTC().Format("2006-01-02 15:04 UTC")},
		{"command", b.command()},
		{"took", took.Round(time.Second).String()},
	}
	if b.load != "" {
		host = append(host, []string{"load average, 1 min", b.load + " before the run, " + load() + " after"})
	}
	return host
}

// load is how many processes wanted a core in the last minute; "" if that is not known.
func load() string {
	data, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	one, _, _ := strings.Cut(string(data), " ")
	return one
}

// first returns the value of the first line "name : value" of a file.
func first(path, name string) string {
	f, err := os.Open(path)
	if err != nil {
		return "unknown"
	}
	defer f.Close()
	for in := bufio.NewScanner(f); in.Scan(); {
		if k, v, ok := strings.Cut(in.Text(), ":"); ok && strings.TrimSpace(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return "unknown"
}

func kernel() string {
	out, err := exec.Command("uname", "-sr").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// version is the first line that a program says of itself.
func version(program, flag string) string {
	path, err := find(program, "")
	if err != nil {
		return "not installed"
	}
	out, err := exec.Command(path, flag).CombinedOutput()
	if err != nil {
		return "unknown"
	}
	line, _, _ := strings.Cut(strings.TrimSpace(string(out)), "\n")
	line, _, _ = strings.Cut(line, " - https")
	return strings.TrimPrefix(line, "nginx version: ")
}

func commit() string {
	out, err := exec.Command("git", "rev-parse", "--short=12", "HEAD").Output()
	if err != nil {
		return "unknown"
	}
	text := strings.TrimSpace(string(out))
	if dirty, err := exec.Command("git", "status", "--porcelain", "--untracked-files=no").Output(); err == nil && len(dirty) > 0 {
		text += " with changes"
	}
	return text
}

// command is how the run was started, without where its results go.
func (b *bench) command() string {
	c := "go run ./bench"
	if b.quick {
		c += " -quick"
	}
	if b.only != "" {
		c += " -only " + b.only
	}
	return "`" + c + "`"
}
