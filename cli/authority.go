package cli

import "github.com/spf13/cobra"

func (c *command) authorityCmds() []*cobra.Command { return nil }
