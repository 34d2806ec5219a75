/**
 * How tightly operators bind, from loose to tight:
 *
 *     1  && ||                       left, both on one level: `a || b && c` is `(a || b) && c`
 *     2  = != < <= > >= =~ !~        left; between spansets the structural operators
 *     3  + -   and prefix -          left
 *     4  prefix !
 *     5  * / %                       left
 *     6  ^                           right
 *
 * A prefix takes all that binds tighter than itself: `-2 ^ 2` is `-(2 ^ 2)`, `!.a = true` is `(!.a) = true`.
 */

export const loosest = 1;
export const comparison = 2;
export const additive = 3;
/** From this level on `-5 op x` reads as `-(5 op x)`. */
export const aboveMinus = 4;
/** From this level on `!.a op x` reads as `!(.a op x)`. */
export const aboveNot = 5;

/** Between values; `expression` and scalar operators alike. */
export const fieldLevels: ReadonlyMap<string, number> = new Map([
  ...levelOf(loosest, '&&', '||'),
  ...levelOf(comparison, '=', '!=', '<', '<=', '>', '>=', '=~', '!~'),
  ...levelOf(additive, '+', '-'),
  ...levelOf(5, '*', '/', '%'),
  ...levelOf(6, '^'),
]);

/** Between spansets. */
export const spansetLevels: ReadonlyMap<string, number> = new Map([
  ...levelOf(loosest, '&&', '||'),
  ...levelOf(comparison, '>', '>>', '<', '<<', '~'),
  ...levelOf(comparison, '!>', '!>>', '!<', '!<<', '!~'),
  ...levelOf(comparison, '&>', '&>>', '&<', '&<<', '&~'),
]);

function levelOf(level: number, ...ops: string[]): [string, number][] {
  return ops.map((op) => [op, level]);
}
