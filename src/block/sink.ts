/**
 * Where the files of a block go while it is made: a folder, a bucket, memory. Both files grow at the same time, each in order;
 * whoever makes the sink makes a block of them when they are whole, by writing meta.json (`metaOf`).
 */
export interface BlockSink {
  /** The next bytes of data.parquet, which are the sink's from now on, with all of their buffer. Resolves when more may come. */
  data(bytes: Uint8Array): Promise<void>;
  /** The same of the file `traces`. */
  traces(bytes: Uint8Array): Promise<void>;
}

/** What is known of a block when its files are whole. */
export interface BlockFacts {
  dataBytes: number;
  footerBytes: number;
  /** CRC-32 of the footer and the eight bytes behind it. */
  footerCrc: number;
  tracesBytes: number;
  rowGroups: number;
  traces: number;
  spans: number;
  /** Whole seconds since 1970 that contain every span. */
  startSeconds: number;
  endSeconds: number;
}
