/**
 * A text that is no valid query. `message` is what clients of Tempo know, without the prefix of the endpoint:
 * `parse error at line 1, col 3: unknown identifier: foo` (kind `syntax`) or `illegal operation for …` (kind `meaning`).
 * `offset`, `line` and `column` say where: UTF-16 units from 0, and line and character from 1.
 */
export class TraceQLError extends Error {
  readonly kind: 'syntax' | 'meaning';
  readonly offset: number;
  readonly line: number;
  readonly column: number;

  constructor(kind: 'syntax' | 'meaning', message: string, at: { offset: number; line: number; column: number }) {
    super(message);
    this.name = 'TraceQLError';
    this.kind = kind;
    this.offset = at.offset;
    this.line = at.line;
    this.column = at.column;
  }
}

/**
 * `parse error at line L, col C: <reason>`. The reference names line 0 after a token of several characters
 * (`inAttribute`), and no position in an empty text; `line` and `column` of the error are right in any case.
 */
export function syntaxError(text: string, offset: number, reason: string, inAttribute = false): TraceQLError {
  const at = positionOf(text, offset);
  const where = text === '' ? ' ' : ` at line ${inAttribute ? 0 : at.line}, col ${at.column}`;
  return new TraceQLError('syntax', `parse error${where}: ${reason}`, at);
}

/** A text that parses and makes no sense. */
export function meaningError(text: string, offset: number, message: string): TraceQLError {
  return new TraceQLError('meaning', message, positionOf(text, offset));
}

function positionOf(text: string, offset: number): { offset: number; line: number; column: number } {
  let line = 1;
  let lineStart = 0;
  for (let at = text.indexOf('\n'); at !== -1 && at < offset; at = text.indexOf('\n', at + 1)) {
    line++;
    lineStart = at + 1;
  }
  return { offset, line, column: [...text.slice(lineStart, offset)].length + 1 };
}
