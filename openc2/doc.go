// Package openc2 writes corrections as commands of OpenC2 (OASIS Open Command
// and Control Language Specification 1.0), and what enforcement points
// acknowledged as its responses.
//
// It is pure. What OpenC2 has a word for is said with it; what only Andon knows
// travels in a namespace of its own, "x-andon". A command keeps its command_id for
// life: a correction's id.
package openc2
