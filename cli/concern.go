package cli

import "github.com/spf13/cobra"

func (c *command) concernCmds() []*cobra.Command { return nil }
