package cli

import "github.com/spf13/cobra"

func (c *command) evidenceCmds() []*cobra.Command { return nil }
