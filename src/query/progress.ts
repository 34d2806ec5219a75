/**
 * How a query tells, between two segments, how far it is: `done` segments are looked at, and `soFar` makes the answer of
 * these, for whoever wants to see it already. Whoever evaluates awaits it, so that the listener can let others go first.
 */
export type Progress<Outcome> = (done: number, soFar: () => Outcome | Promise<Outcome>) => Promise<void>;
