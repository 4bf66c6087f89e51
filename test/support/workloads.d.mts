export function head(length: number): Buffer;
