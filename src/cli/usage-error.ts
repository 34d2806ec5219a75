/** The command line is wrong; the program ends with 2 and says how to find help. */
export class UsageError extends Error {}
