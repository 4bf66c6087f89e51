export function beatTo(url: string): (context: unknown, signal: AbortSignal) => Promise<Response>;
