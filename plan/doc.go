// Package plan is what was decided ahead of time: models, surfaces, threats,
// triggers, playbooks, fallbacks, authority, rosters, dependants, terms,
// contacts and retention, as a folder of YAML that is reviewed like code.
//
// Loading is strict: what is not known, not valid, or refers to nothing is
// refused, with file, line and column, and nothing is half-loaded. Checking is
// pure: a plan, what was observed, and a time in; findings out. The package does
// no I/O of its own but reading the fs.FS that it is given.
package plan
