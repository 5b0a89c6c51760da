/** Spine headers that Shields write and both Shields and Brains read. */

/**
 * Spine header with the id of the sending connection: on commands always, on events only if the connection asked for no
 * echo.
 */
export const ORIGIN_HEADER = "x-arqon-origin";
