/** JSON Schema of revived.yaml. Unknown keys are errors: a typo must not be a silent default. */
import { rungNames } from '../pci/rung-name.ts';

export interface ConfigFile {
  readonly hook?: { readonly unreachable?: 'allow' | 'refuse' };
  readonly 'holders-seconds'?: number;
  readonly 'prepare-revive-seconds'?: number;
  readonly suspend?: 'never' | 'alone' | 'always';
  readonly cards?: Readonly<
    Record<
      string,
      {
        readonly ladder?: readonly string[];
        readonly force?: boolean;
        readonly 'reset-method'?: string;
        readonly 'reset-module'?: string;
        readonly 'lend-keyboard'?: boolean;
      }
    >
  >;
  readonly 'driver-poll-seconds'?: number;
  readonly reboot?: { readonly 'grace-seconds'?: number; readonly 'shutdown-seconds'?: number };
  readonly domains?: Readonly<
    Record<
      string,
      {
        readonly managed?: boolean;
        readonly 'guest-reboot'?: 'pass' | 'cold';
        readonly restart?: 'never' | 'on-crash';
        readonly 'after-driver-install'?: 'ask' | 'auto' | 'off';
        readonly 'on-refusal'?: 'wait' | 'save' | 'destroy';
      }
    >
  >;
}

export const schema = {
  type: 'object',
  additionalProperties: false,
  properties: {
    hook: {
      type: 'object',
      additionalProperties: false,
      properties: { unreachable: { enum: ['allow', 'refuse'] } },
    },
    'holders-seconds': { type: 'integer', minimum: 0, maximum: 120 },
    'prepare-revive-seconds': { type: 'integer', minimum: 0, maximum: 110 },
    suspend: { enum: ['never', 'alone', 'always'] },
    'driver-poll-seconds': { type: 'integer', minimum: 0, maximum: 86_400 },
    reboot: {
      type: 'object',
      additionalProperties: false,
      properties: {
        'grace-seconds': { type: 'integer', minimum: 1, maximum: 3600 },
        'shutdown-seconds': { type: 'integer', minimum: 2, maximum: 3600 },
      },
    },
    cards: {
      type: 'object',
      maxProperties: 256,
      propertyNames: { pattern: '^([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}(\\.[0-7])?$' },
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        properties: {
          ladder: {
            type: 'array',
            maxItems: 16,
            uniqueItems: true,
            items: { enum: [...rungNames] },
          },
          force: { type: 'boolean' },
          'reset-method': { type: 'string', pattern: '^[a-z_]+( [a-z_]+)*$', maxLength: 64 },
          'lend-keyboard': { type: 'boolean' },
          'reset-module': { type: 'string', pattern: '^[A-Za-z0-9_-]+$', maxLength: 55 },
        },
      },
    },
    domains: {
      type: 'object',
      maxProperties: 1024,
      additionalProperties: {
        type: 'object',
        additionalProperties: false,
        properties: {
          managed: { type: 'boolean' },
          'guest-reboot': { enum: ['pass', 'cold'] },
          restart: { enum: ['never', 'on-crash'] },
          'after-driver-install': { enum: ['ask', 'auto', 'off'] },
          'on-refusal': { enum: ['wait', 'save', 'destroy'] },
        },
      },
    },
  },
} as const;
