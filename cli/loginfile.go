package cli

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/term"
)

// keptLogin is what `andon login` keeps for one control plane, readable by its
// owner alone. A token is used for the address that it was given for, and no other.
type keptLogin struct {
	Server    string    `json:"server"`
	Name      string    `json:"name"`
	Session   string    `json:"session,omitempty"`
	Method    string    `json:"method,omitempty"`
	Token     string    `json:"token,omitempty"` // "": logged out; the device is known all the same
	Device    string    `json:"device,omitempty"`
	ExpiresAt time.Time `json:"expires_at,omitzero"`
}

// loginFile is where the log-in at an address is kept; "" if the environment names
// no place.
func (c *command) loginFile(base string) string {
	dir := c.env("XDG_CONFIG_HOME")
	if dir == "" && runtime.GOOS == "windows" {
		dir = c.env("APPDATA")
	}
	if home := c.env("HOME"); dir == "" && home != "" {
		dir = filepath.Join(home, ".config")
	}
	if dir == "" {
		return ""
	}
	host := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '.' || r == '-' {
			return r
		}
		return '_'
	}, strings.ToLower(strings.TrimPrefix(strings.TrimPrefix(base, "https://"), "http://")))
	sum := sha256.Sum256([]byte(base))
	return filepath.Join(dir, "andon", "logins", shorten(host, 60)+"-"+hex.EncodeToString(sum[:4])+".json")
}

// keptLogin reads the log-in at an address; none is no error.
func (c *command) keptLogin(base string) (keptLogin, error) {
	var k keptLogin
	name := c.loginFile(base)
	if name == "" {
		return k, nil
	}
	info, err := os.Stat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return k, nil
	}
	var data []byte
	if err == nil {
		if info.Mode().Perm()&0o077 != 0 && runtime.GOOS != "windows" {
			return k, &hinted{fmt.Errorf("%s can be read by others, so its token is not used", name), "chmod 600 " + name + ", and andon sessions revoke what others may have read"}
		}
		data, err = os.ReadFile(name)
	}
	if err == nil {
		err = json.Unmarshal(data, &k)
	}
	if err != nil {
		return k, &hinted{fmt.Errorf("read the kept log-in %s: %w", name, err), "remove the file, then andon login"}
	}
	if k.Server != base {
		return keptLogin{}, nil
	}
	return k, nil
}

// keepLogin keeps a log-in, whole or not at all.
func (c *command) keepLogin(k keptLogin) (string, error) {
	name := c.loginFile(k.Server)
	if name == "" {
		return "", &hinted{errors.New("there is no place to keep the log-in"), "set HOME or XDG_CONFIG_HOME"}
	}
	data, err := json.Marshal(k)
	if err == nil {
		err = os.MkdirAll(filepath.Dir(name), 0o700)
	}
	if err != nil {
		return "", fmt.Errorf("keep the log-in: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(name), ".login-*") // 0600
	if err != nil {
		return "", fmt.Errorf("keep the log-in: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(append(data, '\n'))
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err == nil {
		err = os.Rename(tmp.Name(), name)
	}
	if err != nil {
		return "", fmt.Errorf("keep the log-in: %w", err)
	}
	return name, nil
}

// secrets asks for secrets without showing them; where nobody can answer it reads
// a line of stdin for each.
func (c *command) secrets(questions ...string) ([]string, error) {
	out := make([]string, 0, len(questions))
	if f, ok := c.Stdin.(*os.File); ok && c.Interactive && term.IsTerminal(int(f.Fd())) {
		for _, q := range questions {
			fmt.Fprint(clean(c.Stderr), q)
			b, err := term.ReadPassword(int(f.Fd()))
			fmt.Fprintln(c.Stderr)
			if err != nil {
				return nil, fmt.Errorf("read from the terminal: %w", err)
			}
			out = append(out, string(b))
		}
		return out, nil
	}
	if c.lines == nil {
		c.lines = bufio.NewReaderSize(c.Stdin, 4096)
	}
	for _, q := range questions {
		text, err := c.lines.ReadString('\n')
		if text = strings.TrimRight(text, "\r\n"); text == "" {
			if err == nil {
				err = errors.New("the line is empty")
			}
			return nil, usagef("write it into stdin, a line for each", "%s: %v", strings.TrimSuffix(q, ": "), err)
		}
		out = append(out, text)
	}
	return out, nil
}
