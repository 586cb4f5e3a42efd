export const ENGINE = __ENGINE__;
