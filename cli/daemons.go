package cli

import (
	"context"
	"io"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"andon/app/config"
)

// settings are the flags of the commands that read a configuration.
type settings struct {
	file  string
	flags map[string]*string
	set   []string
}

var settingFlags = []struct{ flag, path, help string }{
	{"data", "data", "folder for everything that has to last"},
	{"control-listen", "control.listen", "address of the control API"},
	{"gateway-listen", "gateway.listen", "address for callers"},
	{"gateway-admin", "gateway.admin", "address for health, metrics and emergency orders"},
	{"gateway-name", "gateway.name", "name of this gateway"},
	{"sim-listen", "sim.listen", "address of the simulated provider"},
	{"join", "gateway.join", "join token, for andon gateway: andon join-token add makes it"},
}

func (s *settings) add(cmd *cobra.Command) {
	s.flags = map[string]*string{}
	f := cmd.Flags()
	f.StringVar(&s.file, "config", "", "configuration `file` (default ./andon.yaml if it is there, ANDON_CONFIG)")
	for _, d := range settingFlags {
		s.flags[d.flag] = f.String(d.flag, "", d.help)
	}
	f.StringArrayVar(&s.set, "set", nil, "any other value, such as gateway.lease=5s")
}

func (s *settings) load(c *command, cmd *cobra.Command) (*config.Config, error) {
	o := config.Options{File: s.file, Lookup: c.Lookup, Flags: map[string]string{}, Names: map[string]string{}}
	for _, d := range settingFlags {
		if cmd.Flags().Changed(d.flag) {
			o.Flags[d.path], o.Names[d.path] = *s.flags[d.flag], "--"+d.flag
		}
	}
	for _, one := range s.set {
		path, value, ok := strings.Cut(one, "=")
		if !ok {
			return nil, usagef("--set gateway.lease=5s", "--set %q is not path=value", one)
		}
		o.Flags[path] = value
		delete(o.Names, path)
	}
	conf, err := config.Load(o)
	if err != nil {
		return nil, &usageError{detail: err.Error()}
	}
	return conf, nil
}

type daemon = func(ctx context.Context, c *config.Config, out io.Writer) error

func (c *command) daemonCmd(use, short, example string, check func(*config.Config) error, run daemon) *cobra.Command {
	var s settings
	cmd := &cobra.Command{
		Use: use, Short: short, Example: example, Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := s.load(c, cmd)
			if err != nil {
				return err
			}
			if err := check(conf); err != nil {
				return &usageError{detail: err.Error(), hint: "andon config print shows every value and its source"}
			}
			return run(cmd.Context(), conf, c.Stdout)
		},
	}
	s.add(cmd)
	return cmd
}

func (c *command) serveCmd() *cobra.Command {
	return c.daemonCmd("serve", "Everything in one process: control plane, ledger, bus, gateway",
		"  andon serve --config andon.yaml", (*config.Config).CheckServe, c.Daemons.Serve)
}

func (c *command) controlCmd() *cobra.Command {
	return c.daemonCmd("control", "The control plane alone", "  andon control --config andon.yaml",
		(*config.Config).CheckControl, c.Daemons.Control)
}

func (c *command) gatewayCmd() *cobra.Command {
	return c.daemonCmd("gateway", "A gateway alone", "  andon gateway --config andon.yaml --gateway-name gw-2",
		(*config.Config).CheckGateway, c.Daemons.Gateway)
}

func (c *command) devCmd() *cobra.Command {
	return c.daemonCmd("dev", "Everything in one process, with a simulated provider (make run)", "",
		(*config.Config).Check, c.Daemons.Dev)
}

func (c *command) simCmd() *cobra.Command {
	var listen string
	cmd := &cobra.Command{
		Use: "sim", Short: "The simulated provider alone: every wire, streams, tools, errors",
		Example: "  andon sim --listen 127.0.0.1:8082", Args: noneBelow,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !cmd.Flags().Changed("listen") {
				if v := c.env("ANDON_SIM_LISTEN"); v != "" {
					listen = v
				}
			}
			return c.Daemons.Sim(cmd.Context(), listen, c.Stdout)
		},
	}
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:8082", "address (ANDON_SIM_LISTEN)")
	cmd.AddCommand(c.simIssuerCmd(), c.simWitnessCmd(), c.simSinkCmd())
	return cmd
}

func (c *command) configCmd() *cobra.Command {
	var s settings
	show := &cobra.Command{
		Use: "print", Short: "The configuration that results, with the source of every value", Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			conf, err := s.load(c, cmd)
			if err != nil {
				return err
			}
			if c.output == "json" {
				err = c.json(conf.Values())
			} else {
				err = conf.Print(clean(c.Stdout))
			}
			if err != nil {
				return err
			}
			if err := conf.Check(); err != nil {
				return &usageError{detail: err.Error()}
			}
			return nil
		},
	}
	s.add(show)
	return group("config", "The configuration", show)
}

func (c *command) versionCmd() *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "The version of this program", Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			commit := ""
			if info, ok := debug.ReadBuildInfo(); ok {
				for _, s := range info.Settings {
					if s.Key == "vcs.revision" {
						commit = s.Value
					}
				}
			}
			if c.output == "json" {
				return c.json(map[string]string{"version": c.Version, "commit": commit})
			}
			c.printf("andon %s %s\n", c.Version, commit)
			return nil
		},
	}
}
