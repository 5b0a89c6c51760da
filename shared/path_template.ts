/**
 * Path templates such as `/v1/rooms/{room}/state/{key}`: the names of their parts, and a pattern that matches paths.
 * The tables of routes define the meaning of the parts.
 */

const NAME = /\{([a-z_]+)\}/g;

/** The names of a template's parts, in their order. */
export function templateNames(template: string): string[] {
  return [...template.matchAll(NAME)].map(([, name = ""]) => name);
}

/** The pattern of a template's paths; each part is a group that matches `part`, for example `[^/]+`. */
export function templateShape(template: string, part: string): RegExp {
  return new RegExp(`^${template.replaceAll(NAME, `(${part})`)}$`);
}
