// Package people holds the rules about who somebody is: passwords and how they
// are kept, what a token may be used for, since when somebody has a role, how
// fast somebody may try, and how often somebody may ask.
//
// It is pure: no clock, no randomness, no I/O; all three are parameters. It
// promises:
//
//   - A password is kept as its argon2id hash in PHC form, with the parameters in
//     the text, so that they can be raised and old hashes still be read. A text
//     that asks for more memory or time than a stated bound is refused unread.
//   - Delays grow for who fails, never for whom they aim at: see Throttle.
//   - A role that somebody had is known with its interval: see Tenures.
//   - A scope that was not given allows nothing.
//
// What the types keep in maps is bounded. Only Throttle and Meter may be called
// by several goroutines at once.
package people
