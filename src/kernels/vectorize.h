// Marks a function that holds a hot loop: the compiler builds it for several instruction sets and
// the loader picks one. Such a function must be a plain function (no template, no lambda inside),
// so that the loop itself is what is cloned.
#pragma once

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && \
    !defined(__SANITIZE_ADDRESS__)
#define ETRLREC_VECTORIZE                                                        \
  [[gnu::target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default"),           \
    gnu::optimize("O3", "no-math-errno", "no-trapping-math", "associative-math", \
                  "no-signed-zeros")]]
#else
#define ETRLREC_VECTORIZE
#endif
