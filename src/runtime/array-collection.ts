/**
 * Arrays that are done with, outside of the engine's heap, which it lets grow to some 100 MiB before it looks for them: a thread whose
 * objects are few and whose arrays are large looks itself. Needs `--expose-gc`, which the launcher gives; without it nothing happens.
 */

/** Returns what is to be called after each piece of work of the calling thread: arrays may have grown by `garbageBytes` since the last time. */
export function collectArrays(garbageBytes: number): () => void {
  const collect = globalThis.gc;
  if (collect === undefined) return () => {};
  let left = arrayBytes();
  return () => {
    if (arrayBytes() < left + garbageBytes) return;
    collect({ type: 'major', execution: 'sync' });
    left = arrayBytes();
  };
}

function arrayBytes(): number {
  return process.memoryUsage().arrayBuffers;
}
