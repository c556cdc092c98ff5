package cli

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
)

// issuer says how people log in.
type issuer struct {
	Enabled   bool   `json:"enabled"`
	Issuer    string `json:"issuer,omitempty"`
	Reachable bool   `json:"reachable"`
	Device    bool   `json:"device"`
}

// loginFor bounds how long a person may take.
const loginFor = 10 * time.Minute

func (c *command) loginCmd() *cobra.Command {
	var name string
	var browser bool
	cmd := &cobra.Command{
		Use: "login", Short: "Log in: at the issuer, or with --name by password", Args: cobra.NoArgs,
		Long: `Log in. Without --name you do so at the issuer of the control plane: with a code on
whatever machine has a browser if the issuer can that, else with a browser on this
one (--browser asks for the latter). With --name the password is asked for without
being shown, or read from stdin.

What is kept is the session, for this address and this user alone; andon logout ends
it, and andon sessions ls shows what else lasts.`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.reach()
			if err != nil {
				return err
			}
			s, err := c.logIn(cmd.Context(), cl, name, browser, false)
			if err != nil {
				return err
			}
			return c.loggedIn(cl, s)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "the local account's name")
	cmd.Flags().BoolVar(&browser, "browser", false, "use a browser on this machine")
	return cmd
}

// loggedIn keeps a session and says so. The one that it takes the place of ends.
func (c *command) loggedIn(cl *client, s session) error {
	old, _ := c.keptLogin(cl.base)
	k := keptLogin{Server: cl.base, Name: s.Name, Session: s.ID, Method: s.Method, Token: s.Token, Device: s.Device, ExpiresAt: s.ExpiresAt}
	if k.Device == "" {
		k.Device = old.Device
	}
	file, err := c.keepLogin(k)
	if err != nil {
		return err
	}
	if old.Token != "" {
		before := *cl
		before.token = old.Token
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = before.do(ctx, http.MethodDelete, "/session", nil, nil, nil) // it may have ended long ago
	}
	if c.output == "json" {
		s.Token, s.Device = "", ""
		return c.json(s)
	}
	c.printf("logged in as %s (%s): %s\nends %s, or %s if it is not used; kept in %s\nundo: andon logout\n",
		s.Name, s.Operator, dash(strings.Join(s.Roles, ", ")), until(s.ExpiresAt, c.Now()), until(s.IdleUntil, c.Now()), file)
	return nil
}

// logIn begins a session.
func (c *command) logIn(ctx context.Context, cl *client, name string, browser, fresh bool) (session, error) {
	cl.token = "" // a log-in begins with nothing
	if name != "" {
		secret, err := c.secrets("password of " + name + ": ")
		if err != nil {
			return session{}, err
		}
		kept, _ := c.keptLogin(cl.base)
		var s session
		return s, cl.do(ctx, http.MethodPost, "/session", nil, map[string]string{"name": name, "password": secret[0], "device": kept.Device}, &s)
	}
	var i issuer
	if err := cl.do(ctx, http.MethodGet, "/oidc", nil, nil, &i); err != nil {
		return session{}, err
	}
	switch {
	case !i.Enabled:
		return session{}, usagef("andon login --name NAME", "%s has no issuer", cl.base)
	case !i.Reachable:
		return session{}, &hinted{fmt.Errorf("the issuer %s cannot be reached by the control plane", i.Issuer), "a local account works on: andon login --name NAME, or its token"}
	}
	waiting, cancel := context.WithTimeout(ctx, loginFor)
	defer cancel()
	if i.Device && !browser {
		return c.byDevice(waiting, cl, fresh)
	}
	return c.byBrowser(waiting, cl, fresh)
}

// byDevice has the person log in on whatever machine has a browser (RFC 8628).
func (c *command) byDevice(ctx context.Context, cl *client, fresh bool) (session, error) {
	var d struct {
		UserCode  string    `json:"user_code"`
		URL       string    `json:"verification_uri"`
		Complete  string    `json:"verification_uri_complete"`
		ExpiresAt time.Time `json:"expires_at"`
		Handle    string    `json:"handle"`
	}
	if err := cl.do(ctx, http.MethodPost, "/oidc/device", nil, map[string]bool{"fresh": fresh}, &d); err != nil {
		return session{}, err
	}
	fmt.Fprintf(clean(c.Stderr), "open %s and enter %s\n", d.URL, d.UserCode)
	if d.Complete != "" {
		fmt.Fprintf(clean(c.Stderr), "or open %s, and see that it shows the same code\n", d.Complete)
	}
	poll := *cl
	poll.slow = nil // waiting is what it does
	for {
		var s session
		if err := poll.do(ctx, http.MethodPost, "/oidc/device/token", nil, map[string]string{"handle": d.Handle}, &s); err != nil {
			return s, err
		}
		if s.Token != "" {
			return s, nil
		}
	}
}

// byBrowser waits on a port of this machine for the browser to come back. What it
// brings is worth nothing without the verifier, which does not leave this process.
func (c *command) byBrowser(ctx context.Context, cl *client, fresh bool) (session, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return session{}, fmt.Errorf("wait for the browser: %w", err)
	}
	verifier, state := rand.Text()+rand.Text(), rand.Text()
	sum := sha256.Sum256([]byte(verifier))
	q := url.Values{"port": {strconv.Itoa(l.Addr().(*net.TCPAddr).Port)}, "state": {state}, "challenge": {base64.RawURLEncoding.EncodeToString(sum[:])}}
	if fresh {
		q.Set("fresh", "true")
	}
	came := make(chan url.Values, 1)
	server := &http.Server{ReadHeaderTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got := r.URL.Query()
		if r.URL.Path != "/" || got.Get("state") != state {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		w.Header().Set("Connection", "close")
		_, _ = io.WriteString(w, "done; go back to the terminal\n")
		select {
		case came <- got:
		default: // it was answered already
		}
	})}
	served := make(chan struct{})
	go func() { // without it the browser finds nobody
		defer close(served)
		_ = server.Serve(l)
	}()
	defer func() {
		stopping, cancel := context.WithTimeout(context.WithoutCancel(ctx), 2*time.Second)
		defer cancel()
		if server.Shutdown(stopping) != nil {
			_ = server.Close()
		}
		<-served
	}()
	fmt.Fprintf(clean(c.Stderr), "open in a browser on this machine:\n%s/api/v1/oidc/login?%s\n", cl.base, q.Encode())
	select {
	case <-ctx.Done():
		return session{}, errors.New("the browser did not come back in time; andon login begins anew")
	case got := <-came:
		if code := got.Get("error"); code != "" {
			return session{}, &problem{Status: http.StatusUnauthorized, Code: shorten(code, 64), Detail: shorten(got.Get("detail"), 300), Hint: "andon login begins anew"}
		}
		var s session
		return s, cl.do(ctx, http.MethodPost, "/session", nil, map[string]string{"grant": got.Get("grant"), "verifier": verifier}, &s)
	}
}

func (c *command) logoutCmd() *cobra.Command {
	return &cobra.Command{
		Use: "logout", Short: "End the session that andon login began", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.reach()
			if err != nil {
				return err
			}
			kept, err := c.keptLogin(cl.base)
			if err != nil {
				return err
			}
			if kept.Token == "" {
				return usagef("andon sessions ls lists what lasts", "nobody is logged in at %s from here", cl.base)
			}
			cl.token = kept.Token
			err = cl.do(cmd.Context(), http.MethodDelete, "/session", nil, nil, nil)
			if p := (*problem)(nil); err != nil && !(errors.As(err, &p) && p.Status == http.StatusUnauthorized) {
				return err // it may last: keep what ends it
			}
			kept.Token, kept.Session = "", ""
			if _, err := c.keepLogin(kept); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(map[string]string{"server": cl.base, "state": "logged_out"})
			}
			c.printf("logged out of %s\n", cl.base)
			return nil
		},
	}
}

func (c *command) stepUpCmd() *cobra.Command {
	var browser bool
	cmd := &cobra.Command{
		Use: "step-up", Short: "Prove anew who you are, for what cannot be undone; it counts for five minutes", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			cl, err := c.client()
			if err != nil {
				return err
			}
			var me whoami
			if err := cl.do(cmd.Context(), http.MethodGet, "/whoami", nil, nil, &me); err != nil {
				return err
			}
			if me.Kind == "session" && me.Method == "oidc" {
				s, err := c.logIn(cmd.Context(), cl, "", browser, true)
				if err != nil {
					return err
				}
				return c.loggedIn(cl, s)
			}
			if len(me.Factors) == 0 {
				return usagef("andon operators passwd", "%s has no password, and a token alone proves nothing", me.Name)
			}
			secret, err := c.secrets("password of " + me.Name + ": ")
			if err != nil {
				return err
			}
			var v struct {
				ID         string    `json:"id"`
				Credential string    `json:"credential"`
				Until      time.Time `json:"stepped_up_until"`
			}
			if err := cl.do(cmd.Context(), http.MethodPost, "/step-up", nil, map[string]string{"password": secret[0]}, &v); err != nil {
				return err
			}
			if c.output == "json" {
				return c.json(v)
			}
			c.printf("%s stepped up; it ends %s\n", me.Name, until(v.Until, c.Now()))
			return nil
		},
	}
	cmd.Flags().BoolVar(&browser, "browser", false, "use a browser on this machine")
	return cmd
}
