// Precompiled header of the tests that use torch.
#pragma once
#include <gtest/gtest.h>

#include "pch.h"
