/** Spine headers that Shields write and both Shields and Brains read. */

/**
 * Spine header with the id of the connection that a message comes from: of an event only when that
 * connection asked for no echo, of a command always.
 */
export const ORIGIN_HEADER = "x-arqon-origin";
