import type { Features } from './arbitrary-queries.ts';
import { FORMS } from './forms.ts';

/** What the engine can do: everything. Less is for looking at one thing. */
export const FEATURES: Features = { structural: true, pipelines: true, searched: FORMS, measured: FORMS };
