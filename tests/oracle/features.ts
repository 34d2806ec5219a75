import type { Features } from './arbitrary-queries.ts';
import type { Form } from './forms.ts';

/** What the engine can do; both lists grow until they hold everything. */
export const FEATURES: Features = { structural: false, pipelines: false };
export const SUPPORTED_FORMS: readonly Form[] = ['live', 'block', 'blocks'];
