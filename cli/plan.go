package cli

import "github.com/spf13/cobra"

func (c *command) planCmds() []*cobra.Command { return nil }
