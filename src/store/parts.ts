/** Sends the parts of an upload a few at a time, numbered from 1; settles when none is under way any more. */
export async function sendParts<P>(
  parts: AsyncIterable<Uint8Array>,
  atOnce: number,
  send: (part: number, bytes: Uint8Array) => Promise<P>,
): Promise<P[]> {
  const iterator = parts[Symbol.asyncIterator]();
  const sent: P[] = [];
  let next = 1;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (!failed) {
      const { value, done } = await iterator.next();
      if (done) return;
      const part = next++;
      try {
        sent[part - 1] = await send(part, value);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const ends = await Promise.allSettled(Array.from({ length: atOnce }, worker));
  if (failed) await iterator.return?.();
  for (const end of ends) if (end.status === 'rejected') throw end.reason;
  return sent;
}
