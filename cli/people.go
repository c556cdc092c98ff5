package cli

import "github.com/spf13/cobra"

func (c *command) peopleCmds() []*cobra.Command { return nil }
