// Stands in front of the wheel's header of this name, see ATen/ATen.h beside it.
#pragma once
#include <ATen/ATen.h>
