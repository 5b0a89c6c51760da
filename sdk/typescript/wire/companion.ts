/** Whether a room is beside another one (what grows there, its members, its values): no pattern matches it. */
export const isCompanion = (room: string): boolean => /~(growing|members|values)$/.test(room);
