/** Types of questions.mjs, which is plain JavaScript so that it runs anywhere. */

/** Name and path of each question. */
export function questions(startSeconds: number, endSeconds: number): [name: string, path: string][];
