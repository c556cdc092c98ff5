package cli

import "github.com/spf13/cobra"

func (c *command) signingCmds() []*cobra.Command { return nil }
