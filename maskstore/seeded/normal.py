"""The normal quantile function in plain IEEE arithmetic, the same bits on every machine.

Algorithm AS 241, PPND16: M. J. Wichura, "The percentage points of the normal distribution",
Applied Statistics 37 (1988) 477-484. Its relative error is about 1e-16. Its logarithm is
computed here, because a mathematics library's differs in the last bit between machines.
"""

import numpy as np
from jaxtyping import Float64

# Numerators a, c, e and denominators b, d, f of AS 241, highest power first.
_CENTRE = (
    (
        2.5090809287301226727e3,
        3.3430575583588128105e4,
        6.7265770927008700853e4,
        4.5921953931549871457e4,
        1.3731693765509461125e4,
        1.9715909503065514427e3,
        1.3314166789178437745e2,
        3.3871328727963666080e0,
    ),
    (
        5.2264952788528545610e3,
        2.8729085735721942674e4,
        3.9307895800092710610e4,
        2.1213794301586595867e4,
        5.3941960214247511077e3,
        6.8718700749205790830e2,
        4.2313330701600911252e1,
        1.0,
    ),
)
_MIDDLE = (
    (
        7.74545014278341407640e-4,
        2.27238449892691845833e-2,
        2.41780725177450611770e-1,
        1.27045825245236838258e0,
        3.64784832476320460504e0,
        5.76949722146069140550e0,
        4.63033784615654529590e0,
        1.42343711074968357734e0,
    ),
    (
        1.05075007164441684324e-9,
        5.47593808499534494600e-4,
        1.51986665636164571966e-2,
        1.48103976427480074590e-1,
        6.89767334985100004550e-1,
        1.67638483018380384940e0,
        2.05319162663775882187e0,
        1.0,
    ),
)
_FAR = (
    (
        2.01033439929228813265e-7,
        2.71155556874348757815e-5,
        1.24266094738807843860e-3,
        2.65321895265761230930e-2,
        2.96560571828504891230e-1,
        1.78482653991729133580e0,
        5.46378491116411436990e0,
        6.65790464350110377720e0,
    ),
    (
        2.04426310338993978564e-15,
        1.42151175831644588870e-7,
        1.84631831751005468180e-5,
        7.86869131145613259100e-4,
        1.48753612908506148525e-2,
        1.36929880922735805310e-1,
        5.99832206555887937690e-1,
        1.0,
    ),
)
_LN2 = 0.6931471805599453
_SQRT_HALF = 0.7071067811865476
# 1 / (2 n + 1), highest first: |s| <= 0.1716 below, so the first term left out is under 2**-65.
_ATANH = tuple(1.0 / (2 * n + 1) for n in range(12, -1, -1))


def standard_normal_quantile(p: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """The x with P(X <= x) = p for a standard normal X, element by element.

    Args:
        p: probabilities strictly between 0 and 1.
    """
    q = p - 0.5
    r = 0.180625 - q * q
    x = q * _ratio(_CENTRE, r)
    # Beyond |q| = 0.425 the tails' expansions, in the root of -log of the distance to the end.
    tail = np.flatnonzero(r < 0.0)
    near_end = p[tail]
    root = np.sqrt(-_log(np.minimum(near_end, 1.0 - near_end)))
    size = np.where(root <= 5.0, _ratio(_MIDDLE, root - 1.6), _ratio(_FAR, root - 5.0))
    x[tail] = np.where(q[tail] < 0.0, -size, size)
    return x


def _log(x: Float64[np.ndarray, " n"]) -> Float64[np.ndarray, " n"]:
    """Natural logarithm of positive numbers: exponent by bits, the rest by atanh's series."""
    mantissa, exponent = np.frexp(x)
    small = mantissa < _SQRT_HALF
    mantissa = np.where(small, mantissa * 2.0, mantissa)
    whole = exponent.astype(np.float64) - small.astype(np.float64)
    s = (mantissa - 1.0) / (mantissa + 1.0)
    return whole * _LN2 + s * 2.0 * _polynomial(_ATANH, s * s)


def _ratio(
    coefficients: tuple[tuple[float, ...], tuple[float, ...]], r: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    return _polynomial(coefficients[0], r) / _polynomial(coefficients[1], r)


def _polynomial(
    coefficients: tuple[float, ...], x: Float64[np.ndarray, " n"]
) -> Float64[np.ndarray, " n"]:
    # Horner's rule, highest power first.
    total = np.full_like(x, coefficients[0])
    for coefficient in coefficients[1:]:
        total *= x
        total += coefficient
    return total
