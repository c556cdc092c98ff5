package cli

import "github.com/spf13/cobra"

func (c *command) playbookCmds() []*cobra.Command { return nil }
