import type { Features } from './arbitrary-queries.ts';
import { FORMS, type Form } from './forms.ts';

/** What the engine can do; both lists grow until they hold everything. */
export const FEATURES: Features = { structural: true, pipelines: true };
export const SUPPORTED_FORMS: readonly Form[] = FORMS;
