/** Colours of a terminal: none, sixteen or 256. Services get one each from a palette that dark and light grounds both show. */

export type Style = 'bold' | 'dim' | 'error' | 'warning' | 'good' | 'heading';

export interface Paint {
  /** Whether anything is coloured at all. */
  readonly colours: 0 | 16 | 256;
  style(style: Style, text: string): string;
  /** In the colour of the service with this number. */
  service(number: number, text: string): string;
}

const CODES: Record<Style, string> = {
  bold: '1',
  dim: '2',
  error: '31',
  warning: '33',
  good: '32',
  heading: '1;4',
};

// Red is for errors.
const SERVICES_16 = ['36', '33', '35', '34', '32', '96', '93', '95', '94', '92'];
const SERVICES_256 = [37, 172, 134, 68, 71, 167, 179, 99, 31, 107, 138, 66, 175, 143, 61, 130].map((n) => `38;5;${n}`);

export function createPaint(colours: 0 | 16 | 256): Paint {
  const wrap = (code: string, text: string): string =>
    colours === 0 || text === '' ? text : `\u001b[${code}m${text}\u001b[0m`;
  const palette = colours === 256 ? SERVICES_256 : SERVICES_16;
  return {
    colours,
    style: (style, text) => wrap(CODES[style], text),
    service: (number, text) => wrap(palette[number % palette.length], text),
  };
}

export type ColourChoice = 'auto' | 'always' | 'never';

/** How many colours to use. NO_COLOR with anything in it, and TERM=dumb, mean none; `always` overrules both. */
export function coloursOf(
  choice: ColourChoice,
  env: Record<string, string | undefined>,
  terminal: { isTerminal: boolean; colourBits: number },
): 0 | 16 | 256 {
  const many = terminal.colourBits >= 8 || /256|truecolor|24bit/.test(`${env.TERM ?? ''} ${env.COLORTERM ?? ''}`);
  if (choice === 'always') return many ? 256 : 16;
  if (choice === 'never' || (env.NO_COLOR ?? '') !== '' || env.TERM === 'dumb' || !terminal.isTerminal) return 0;
  if (terminal.colourBits < 4) return 0;
  return many ? 256 : 16;
}
