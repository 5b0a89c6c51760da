/** The full name of a command: clients may leave out `room.`, and every check goes by the full one. Pure. */
export const fullCommandName = (name: string): string => name.includes(".") ? name : `room.${name}`;
