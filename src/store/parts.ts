/** Sends the parts of an upload a few at a time, numbered from 1; settles when none is under way any more. `sent`: see MultipartOptions. */
export async function sendParts<P>(
  parts: AsyncIterable<Uint8Array>,
  atOnce: number,
  send: (part: number, bytes: Uint8Array) => Promise<P>,
  sent?: (bytes: Uint8Array) => void,
): Promise<P[]> {
  const iterator = parts[Symbol.asyncIterator]();
  const answers: P[] = [];
  let next = 1;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (!failed) {
      const { value, done } = await iterator.next();
      if (done) return;
      const part = next++;
      try {
        answers[part - 1] = await send(part, value);
        sent?.(value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: atOnce }, worker));
  if (failed) await iterator.return?.();
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return answers;
}
