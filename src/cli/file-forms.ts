/** The forms of files that export writes and import reads. */
import path from 'node:path';
import { Option } from 'commander';
import type { OtlpForm } from './otlp-file.ts';
import { UsageError } from './usage-error.ts';

export type FileForm = 'parquet' | OtlpForm;

const EXTENSIONS: Record<string, FileForm> = {
  '.parquet': 'parquet',
  '.otlp': 'otlp',
  '.pb': 'otlp',
  '.binpb': 'otlp',
  '.json': 'otlp-json',
  '.jsonl': 'otlp-json',
};

export const FILE = `file; its name says its form: ${Object.keys(EXTENSIONS).join(' ')}`;

export function formatOption(): Option {
  return new Option('--format <form>', 'form of the file, whatever its name').choices([
    ...new Set(Object.values(EXTENSIONS)),
  ]);
}

/** Throws UsageError when nothing says it. */
export function formOf(file: string, format: FileForm | undefined): FileForm {
  const form = format ?? EXTENSIONS[path.extname(file).toLowerCase()];
  if (form === undefined)
    throw new UsageError(
      `the name ${file} does not say what form it has; say it with --format, or by ${FILE.slice(6)}`,
    );
  return form;
}
