// Precompiled header of the torch-free tests.
#pragma once
#include <gtest/gtest.h>

#include "pch_plain.h"
