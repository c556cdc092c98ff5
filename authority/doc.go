// Package authority says who may decide what: roles, rules that are data, and
// what an act needs before, or after, it takes effect.
//
// It is pure: rules and a question in, a requirement out. It promises that the
// answer depends on nothing else, that the more demanding rule wins where
// several apply, and that no act is without a rule.
package authority

// GoodFaith stands wherever the cord is: nobody should weigh their own fate
// against a stop.
const GoodFaith = "A pull in good faith is never punished."
